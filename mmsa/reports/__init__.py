"""Reports for people: of a study, and across the studies of several data sets."""
