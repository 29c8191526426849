-- Every use of a limit had to change this index too. Housekeeping reads the limits in the order of their keys instead.
DROP INDEX limits_by_time;
