"""What the crawler knows about URLs, sites and pages."""
