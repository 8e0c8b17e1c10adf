"""What ``launch/doctor.py`` looks at: this machine, and the services and nodes that a search would use."""
