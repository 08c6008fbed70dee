"""Every run either finishes or makes amends.

Write sagas with `amends.sagas` and agents with `amends.agents`; `amends.persistence` is the durable log under
both, and `amends.tracing` makes one trace of it all.
"""
