"""What the feed's calls take and answer. The answers are described here, not rendered: they are kept as JSON."""

from typing import Any

from rest_framework import serializers

_LONGEST_CURSOR = 4000


class FeedParameters(serializers.Serializer[Any]):
    SINCE = "A snapshot: answers only `{newer}`, how many posts are new in the feed since."

    limit = serializers.IntegerField(min_value=1, max_value=100, default=50)
    cursor = serializers.CharField(max_length=_LONGEST_CURSOR, required=False, help_text="From the page before.")
    since = serializers.CharField(max_length=64, required=False, help_text=SINCE)
    algo = serializers.ChoiceField(
        ["ch", "time"],
        required=False,
        help_text="`ch`: ranked; `time`: newest first, from PostgreSQL. Without it the viewer's own, mostly `ch`.",
    )
    explain = serializers.ChoiceField(["0", "1"], default="0", help_text="`1`: say for each post why it is there.")


class TrendingParameters(serializers.Serializer[Any]):
    window = serializers.ChoiceField(["1h", "24h", "7d"], default="24h")
    limit = serializers.IntegerField(min_value=1, max_value=500, default=200)


class AuthorSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField(allow_null=True)
    display_name = serializers.CharField(allow_null=True)


class CountsSerializer(serializers.Serializer[Any]):
    impressions = serializers.IntegerField()
    views = serializers.IntegerField()
    likes = serializers.IntegerField()
    comments = serializers.IntegerField()
    shares = serializers.IntegerField()


class _PostSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    author = AuthorSerializer()
    created_at = serializers.DateTimeField()
    text = serializers.CharField()
    media = serializers.ListField(child=serializers.JSONField())
    counts = CountsSerializer()
    seen = serializers.BooleanField()


class FeedPostSerializer(_PostSerializer):
    """The second half is there with `explain=1` only; a feed in order of time has no score, and nulls there."""

    sources = serializers.ListField(
        child=serializers.ChoiceField(["followees", "trending", "affinity", "newest"]), required=False
    )
    freshness = serializers.FloatField(required=False)
    engagement = serializers.FloatField(required=False, allow_null=True)
    affinity = serializers.FloatField(required=False, allow_null=True)
    final = serializers.FloatField(required=False, allow_null=True)
    moved_by_diversity = serializers.IntegerField(
        required=False, help_text="Places down; negative: up, into a gap that another left."
    )
    inputs = serializers.DictField(required=False, help_text="The numbers that the parts were worked out from.")
    weights = serializers.DictField(required=False, allow_null=True)


class FeedSerializer(serializers.Serializer[Any]):
    posts = FeedPostSerializer(many=True)
    cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()
    cache_hit = serializers.BooleanField()
    algorithm = serializers.ChoiceField(["ch", "time"])
    snapshot = serializers.CharField()
    snapshot_replaced = serializers.BooleanField()
    generated_at = serializers.DateTimeField()
    stale = serializers.BooleanField(help_text="Nothing newer could be had: no engine answers.")
    experiment = serializers.CharField(allow_null=True, help_text="By whose weights the feed was ranked.")
    latency_ms = serializers.FloatField()


class NewerSerializer(serializers.Serializer[Any]):
    newer = serializers.IntegerField(
        help_text="Posts that the feed has and the snapshot `since` had not; when that was full, those made since."
    )


class TrendingPostSerializer(_PostSerializer):
    score = serializers.FloatField(help_text="Decayed momentum: likes + 2 comments + 3 shares, by the hour.")
    people = serializers.IntegerField(help_text="Distinct members behind it, the author not counted.")


class TrendingSerializer(serializers.Serializer[Any]):
    window = serializers.CharField()
    generated_at = serializers.DateTimeField()
    posts = TrendingPostSerializer(many=True)
