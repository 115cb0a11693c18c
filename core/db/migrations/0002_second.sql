-- compatible-with: 1
-- Additions only, so that programs of revision 1 go on working beside newer ones.

-- Events are trimmed by age.
CREATE INDEX operation_event_age ON operation_event (created_at);

-- report: what a delete left behind, from the ledger, which goes away with the cluster. undo: what
-- the accepting transaction overwrote, put back when the driver refuses the operation at once.
-- retry_of: the failed operation this one repeats.
ALTER TABLE operation ADD COLUMN report json;
ALTER TABLE operation ADD COLUMN undo json;
ALTER TABLE operation ADD COLUMN retry_of text COLLATE "C";
