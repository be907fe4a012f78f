"""The agents: what each looks for in a document, offline or by asking a language model."""
