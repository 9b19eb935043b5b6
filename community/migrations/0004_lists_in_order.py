"""Indexes in the order of lists: without them a page of a million followers sorts them all.

Made beside the running community, however long that takes: a try that failed leaves an index that is not valid, which
is to be dropped (`\\d follows` shows it) before the next try.
"""

import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("community", "0003_posts_by_time"),
    ]

    operations = [
        migrations.RunSQL("SET statement_timeout = 0", "SET statement_timeout = 0"),
        AddIndexConcurrently(
            model_name="comment",
            index=models.Index(fields=["post", "-created_at", "-id"], name="comments_by_post"),
        ),
        AddIndexConcurrently(
            model_name="follow",
            index=models.Index(fields=["follower", "-created_at", "-id"], name="follows_by_follower"),
        ),
        AddIndexConcurrently(
            model_name="follow",
            index=models.Index(fields=["followee", "-created_at", "-id"], name="follows_by_followee"),
        ),
        AddIndexConcurrently(
            model_name="like",
            index=models.Index(fields=["post", "-created_at", "-id"], name="likes_by_post"),
        ),
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(
                condition=models.Q(is_active=True), fields=["-date_joined", "-id"], name="users_by_joining"
            ),
        ),
        # The new ones begin with the same columns.
        migrations.AlterField(
            model_name="comment",
            name="post",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="community.post",
            ),
        ),
        migrations.AlterField(
            model_name="follow",
            name="followee",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="follows_in",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="follow",
            name="follower",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="follows_out",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="like",
            name="post",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="community.post",
            ),
        ),
        migrations.RunSQL("RESET statement_timeout", "RESET statement_timeout"),
    ]
