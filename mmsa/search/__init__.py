"""Search: the space grammar, the durable study (Optuna), and the trials that Ray Tune runs."""
