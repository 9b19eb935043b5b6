"""How quick feeds are: kept ones beside a bare view, new ones beside the seed's way, and as the history grows."""
