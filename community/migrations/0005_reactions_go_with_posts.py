"""What Django does when a member is deleted, and nothing in the database."""

from django.conf import settings
from django.db import migrations, models


def field():
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        editable=False,
        on_delete=models.deletion.DO_NOTHING,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


class Migration(migrations.Migration):
    dependencies = [("community", "0004_lists_in_order")]

    operations = [
        migrations.AlterField(model_name="like", name="post_author", field=field()),
        migrations.AlterField(model_name="comment", name="post_author", field=field()),
    ]
