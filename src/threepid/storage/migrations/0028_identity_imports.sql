-- What an import from another identity server brings, and how far it has come.

-- Other spellings of bound addresses, under which lookups at the other server found them: clients hash what people typed.
CREATE TABLE association_spellings (
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    spelling TEXT NOT NULL,
    PRIMARY KEY (medium, canonical, spelling)
) CLUSTERED;

-- The number of the last row of the other server's log of associations that was imported; 0 if it has no such log.
ALTER TABLE imports ADD COLUMN position BIGINT NOT NULL DEFAULT 0;

-- Hashes of the other rows that were imported, so that a later run does not bring back what was deleted here meanwhile.
CREATE TABLE imported_rows (
    source TEXT NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (source, mark)
) CLUSTERED;
