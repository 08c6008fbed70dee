"""Runs and what happened to them, told from the journal alone: for the command line and the console.

`events` folds a journal into its story, `lines` says each event in words, `documents` makes JSON of both. No
code of the application is needed, and nothing is written.
"""
