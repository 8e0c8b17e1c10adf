-- Run once, by PostgreSQL's image, when the database is made. The studies' own is POSTGRES_DB.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
