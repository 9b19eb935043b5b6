"""The newest posts of everybody, for lists and for the fallback."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("community", "0002_change_data_capture"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="post",
            index=models.Index(fields=["-created_at", "-id"], name="posts_by_time"),
        ),
    ]
