"""What Debezium needs of the source tables: full old rows, a publication, whose post a reaction is for."""

from django.conf import settings
from django.db import migrations

TABLES = ("posts", "follows", "comments", "likes", "blocks")

REPLICA_IDENTITY = "\n".join(f'ALTER TABLE "{table}" REPLICA IDENTITY FULL;' for table in TABLES)

# The trigger, not the writer, says whose post it is: true also for a row inserted with psql.
POST_AUTHOR = """
CREATE FUNCTION nova_fill_post_author() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT author_id INTO NEW.post_author_id FROM posts WHERE id = NEW.post_id;
    IF NEW.post_author_id IS NULL THEN
        RAISE foreign_key_violation USING MESSAGE = format('post %s does not exist', NEW.post_id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER likes_post_author BEFORE INSERT OR UPDATE OF post_id, post_author_id ON likes
    FOR EACH ROW EXECUTE FUNCTION nova_fill_post_author();
CREATE TRIGGER comments_post_author BEFORE INSERT OR UPDATE OF post_id, post_author_id ON comments
    FOR EACH ROW EXECUTE FUNCTION nova_fill_post_author();
"""
NO_POST_AUTHOR = """
DROP TRIGGER likes_post_author ON likes;
DROP TRIGGER comments_post_author ON comments;
DROP FUNCTION nova_fill_post_author();
"""


class Migration(migrations.Migration):
    dependencies = [("community", "0001_initial")]

    operations = [
        migrations.RunSQL(REPLICA_IDENTITY, migrations.RunSQL.noop),
        migrations.RunSQL(POST_AUTHOR, NO_POST_AUTHOR),
        migrations.RunSQL("INSERT INTO cdc_heartbeat (id) VALUES (1)", "DELETE FROM cdc_heartbeat"),
        migrations.RunSQL(
            f"CREATE PUBLICATION {settings.CDC_PUBLICATION} FOR TABLE {', '.join(TABLES)}, cdc_heartbeat",
            f"DROP PUBLICATION {settings.CDC_PUBLICATION}",
        ),
    ]
