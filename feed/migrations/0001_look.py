"""The permissions of the page; no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Look",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
            options={
                "permissions": [
                    ("view_as_member", "Can look at the feed through a member's eyes"),
                    ("act_as_member", "Can post, follow, like, comment, mute and block as a member"),
                ],
                "managed": False,
                "default_permissions": (),
            },
        ),
    ]
