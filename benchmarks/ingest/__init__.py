"""`make bench-ingest`: how many events a second, beside what, at what cost, and how soon they can be seen."""
