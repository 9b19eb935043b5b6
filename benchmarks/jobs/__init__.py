"""`make bench-jobs`: how many members a second get their suggestions, how that grows, and what trending costs."""
