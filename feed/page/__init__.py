"""The page at `/`: choose a member, see their feed and why each post is there, act, and watch it react."""
