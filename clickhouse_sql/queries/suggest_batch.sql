-- The best suggestions for each viewer with lo < id <= hi: friends of friends, the closer the friend the heavier, heavier
-- still by the interests that viewer and candidate share.
--
-- A join of this size would be aggregated over (viewer, candidate), a hundred million groups at a time. Instead each
-- viewer's steps viewer → friend → candidate are packed into one array of numbers and sorted:
--     candidate (32 bits) | weight of the friend * 100 (16 bits) | position of the friend (16 bits)
-- All steps to a candidate then stand side by side, the closest friend last. Who may not be suggested (oneself, the
-- followed, the hidden) is put among them with all low bits set, and so ends up last in their own run.
WITH
    hidden_by AS (
        SELECT viewer, groupArray(joinGet('numbered', 'n', other)) AS hidden
        FROM (
            SELECT blocker_id AS viewer, blocked_id AS other
            FROM blocks_cdc FINAL
            WHERE blocker_id > {lo:UUID} AND blocker_id <= {hi:UUID}
            UNION ALL
            SELECT blocked_id, blocker_id
            FROM blocks_by_blocked FINAL
            WHERE blocked_id > {lo:UUID} AND blocked_id <= {hi:UUID} AND kind = 'block'
        )
        GROUP BY viewer
    ),
    affinities AS (
        SELECT user_id, author_id, sum(interactions) AS n
        FROM user_author_90d
        WHERE user_id > {lo:UUID} AND user_id <= {hi:UUID} AND day >= {since:Date}
        GROUP BY user_id, author_id
    ),
    viewers AS (
        SELECT
            viewer,
            groupArray(followee) AS followed,
            arraySlice(arrayReverseSort(groupArray((weight, followee))), 1, {friends:UInt32}) AS friends
        FROM (
            SELECT
                follows.follower_id AS viewer,
                joinGet('numbered', 'n', follows.followee_id) AS followee,
                toUInt64(100 * (1 + log(1 + greatest(affinities.n, 0)))) AS weight
            FROM (
                SELECT follower_id, followee_id
                FROM follows_cdc FINAL
                WHERE follower_id > {lo:UUID} AND follower_id <= {hi:UUID}
            ) AS follows
            LEFT JOIN affinities ON affinities.user_id = follows.follower_id AND affinities.author_id = follows.followee_id
        )
        GROUP BY viewer
    ),
    stepped AS (
        SELECT
            viewer,
            joinGet('numbered', 'n', viewer) AS n,
            friends,
            arraySort(arrayConcat(
                arrayFlatten(arrayMap(
                    (friend, position) -> arrayMap(
                        candidate -> bitShiftLeft(toUInt64(candidate), 32) + bitShiftLeft(friend.1, 16) + position,
                        joinGet('members', 'follows', friend.2)),
                    friends, arrayEnumerate(friends))),
                arrayMap(one -> bitShiftLeft(toUInt64(one), 32) + 0xFFFFFFFF, arrayConcat([n], followed, hidden)))) AS steps
        FROM viewers
        LEFT JOIN hidden_by USING viewer
    ),
    shortlisted AS (
        SELECT
            viewer,
            friends,
            joinGet('members', 'interests', n) AS interests,
            -- By the sum of the weights, among equals by the candidate's number.
            arraySlice(arrayReverseSort(
                run -> (arraySum(step -> bitAnd(bitShiftRight(step, 16), 0xFFFF), run), run[1]),
                arrayFilter(
                    run -> bitAnd(run[-1], 0xFFFFFFFF) != 0xFFFFFFFF,
                    arraySplit(
                        (step, first) -> first,
                        steps,
                        arrayMap(
                            (step, before) -> bitShiftRight(step, 32) != bitShiftRight(before, 32),
                            steps, arrayPushFront(arrayPopBack(steps), 0))))
            ), 1, 2 * {keep:UInt32}) AS runs
        FROM stepped
    ),
    scored AS (
        SELECT
            viewer,
            friends,
            arrayMap(
                run -> length(arrayIntersect(interests, joinGet('members', 'interests', toUInt32(bitShiftRight(run[1], 32))))),
                runs) AS shared,
            arraySlice(arrayReverseSort(arrayMap(
                (run, common) -> (
                    round(arraySum(step -> bitAnd(bitShiftRight(step, 16), 0xFFFF), run) / 100
                        * (1 + common / greatest(1, length(interests))), 3),
                    toUInt32(bitShiftRight(run[1], 32)),
                    length(run),
                    common,
                    arrayReverse(arrayMap(step -> bitAnd(step, 0xFFFF), arraySlice(run, -2)))),
                runs, shared)), 1, {keep:UInt32}) AS best
        FROM shortlisted
    ),
    explained AS (
        -- The same few friends are the reason for many: they are named once.
        SELECT viewer, friends, best, arrayDistinct(arrayFlatten(arrayMap(one -> one.5, best))) AS reasons
        FROM scored
    )
SELECT
    viewer,
    toJSONString(arrayMap(position -> joinGet('members', 'user', friends[position].2), reasons)),
    toJSONString(arrayMap(
        one -> (
            joinGet('members', 'user', one.2), one.1, one.3, one.4,
            arrayMap(position -> indexOf(reasons, position) - 1, one.5)),
        best))
FROM explained
