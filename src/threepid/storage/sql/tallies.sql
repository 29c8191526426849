-- name: get(day, who)^
-- The tally of a caller on a day.
SELECT marked, marks FROM lookup_tallies WHERE day = :day AND who = :who;

-- name: insert(day, who, marked, marks)!
-- Insert a caller's first tally of a day; touches no row if another process was first.
INSERT INTO lookup_tallies (day, who, marked, marks) VALUES (:day, :who, :marked, :marks) ON CONFLICT DO NOTHING;

-- name: update(day, who, marked, marks, before)!
-- Update a tally; touches no row if its marks have changed since `before`.
UPDATE lookup_tallies SET marked = :marked, marks = :marks WHERE day = :day AND who = :who AND marks = :before;

-- name: asked_from(day, network)$
-- Number of addresses that were looked up from a network on a day.
SELECT asked FROM lookup_networks WHERE day = :day AND network = :network;

-- name: add_asked(day, network, count)!
-- Add to the number of addresses that were looked up from a network.
INSERT INTO lookup_networks (day, network, asked) VALUES (:day, :network, :count)
ON CONFLICT (day, network) DO UPDATE SET asked = lookup_networks.asked + excluded.asked;

-- name: delete_outside(since_day, day, at_most)!
-- Delete the tallies of old days, and of future days, which a wrong clock wrote.
DELETE FROM lookup_tallies WHERE (day, who) IN (
    SELECT day, who FROM (
        SELECT day, who FROM lookup_tallies WHERE day < :since_day
        UNION ALL SELECT day, who FROM lookup_tallies WHERE day > :day LIMIT :at_most
    ) AS outside
);

-- name: delete_networks_outside(since_day, day, at_most)!
-- Delete the network counts of old and future days.
DELETE FROM lookup_networks WHERE (day, network) IN (
    SELECT day, network FROM (
        SELECT day, network FROM lookup_networks WHERE day < :since_day
        UNION ALL SELECT day, network FROM lookup_networks WHERE day > :day LIMIT :at_most
    ) AS outside
);
