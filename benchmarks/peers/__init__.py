"""The scenarios that other libraries have too, done by them: DBOS and LangGraph, each as quick as it gets.

They live in an environment of their own (`make bench-peers`), with amends beside them.
"""
