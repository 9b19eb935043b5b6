-- What tables/ says since reading posts must be quick before it is small. Parts that are there already get the new form
-- when they are merged.
ALTER TABLE posts_by_author MODIFY COLUMN text String CODEC(LZ4), MODIFY COLUMN media String CODEC(LZ4);
