-- Whose posts the viewer must not see, and what they have seen lately: a list each.
SELECT
    groupUniqArrayIf(toString(id), what = 'hidden'),
    groupUniqArrayIf(toString(id), what = 'seen')
FROM (
    SELECT 'hidden' AS what, blocked_id AS id FROM /*hidden*/
    UNION ALL
    SELECT 'seen', post_id FROM /*seen*/
)
