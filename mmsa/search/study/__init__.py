"""The durable study: what was asked, what runs, how every trial ended."""
