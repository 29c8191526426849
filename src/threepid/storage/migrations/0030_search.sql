-- Operators' lists of accounts are in the order of the characters' codes, whatever collation a database on PostgreSQL has. On SQLite,
-- the primary key has that order.
ON_POSTGRESQL CREATE INDEX accounts_in_code_order ON accounts (user_id COLLATE "C");
