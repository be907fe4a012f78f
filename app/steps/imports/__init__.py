"""Imports: found in source files by parsers, and told which files of a code base they mean."""
