-- name: get(day, who)^
-- What somebody has asked for on a day.
SELECT marked, marks FROM lookup_tallies WHERE day = :day AND who = :who;

-- name: insert(day, who, marked, marks)!
-- The first lookup of somebody on a day; touches no row if another process was first.
INSERT INTO lookup_tallies (day, who, marked, marks) VALUES (:day, :who, :marked, :marks) ON CONFLICT DO NOTHING;

-- name: update(day, who, marked, marks, before)!
-- More was asked for; touches no row if the marks are not those that these were made of.
UPDATE lookup_tallies SET marked = :marked, marks = :marks WHERE day = :day AND who = :who AND marks = :before;

-- name: asked_from(day, network)$
-- How many addresses were asked for from a network on a day.
SELECT asked FROM lookup_networks WHERE day = :day AND network = :network;

-- name: add_asked(day, network, count)!
-- More was asked for from a network.
INSERT INTO lookup_networks (day, network, asked) VALUES (:day, :network, :count)
ON CONFLICT (day, network) DO UPDATE SET asked = lookup_networks.asked + excluded.asked;

-- name: delete_outside(since_day, day)!
-- Forget what was asked for on earlier days, and on days to come, which a wrong clock wrote.
DELETE FROM lookup_tallies WHERE day NOT BETWEEN :since_day AND :day;

-- name: delete_networks_outside(since_day, day)!
-- Forget where it was asked from.
DELETE FROM lookup_networks WHERE day NOT BETWEEN :since_day AND :day;
