"""The client that step types reach out with."""
