"""Indexes in the order of lists: without them a page of a million followers sorts them all."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from nova.indexes import DropOwnIndex, MakeIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("community", "0003_posts_by_time"),
    ]

    operations = [
        MakeIndex(
            model_name="comment",
            index=models.Index(fields=["post", "-created_at", "-id"], name="comments_by_post"),
        ),
        MakeIndex(
            model_name="follow",
            index=models.Index(fields=["follower", "-created_at", "-id"], name="follows_by_follower"),
        ),
        MakeIndex(
            model_name="follow",
            index=models.Index(fields=["followee", "-created_at", "-id"], name="follows_by_followee"),
        ),
        MakeIndex(
            model_name="like",
            index=models.Index(fields=["post", "-created_at", "-id"], name="likes_by_post"),
        ),
        MakeIndex(
            model_name="user",
            index=models.Index(
                condition=models.Q(is_active=True), fields=["-date_joined", "-id"], name="users_by_joining"
            ),
        ),
        # The new ones begin with the same columns.
        DropOwnIndex(
            model_name="comment",
            name="post",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="community.post",
            ),
        ),
        DropOwnIndex(
            model_name="follow",
            name="followee",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="follows_in",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        DropOwnIndex(
            model_name="follow",
            name="follower",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="follows_out",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        DropOwnIndex(
            model_name="like",
            name="post",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="community.post",
            ),
        ),
    ]
