"""Search: the space grammar, the durable study, and the trials that Ray Tune runs. The only importer of both."""
