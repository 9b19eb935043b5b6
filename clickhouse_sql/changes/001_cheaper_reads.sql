-- What tables/ says since a member's rows should lie in few parts, and a post's counts in small blocks. Parts that are
-- there already get the new form when they are merged.
ALTER TABLE post_counters MODIFY SETTING min_bytes_for_wide_part = 2097152, min_compress_block_size = 1024, max_compress_block_size = 4096;
ALTER TABLE user_author_90d MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE seen_posts MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
