-- compatible-with: 1
-- Additions only, so that programs of revision 1 go on working beside newer ones.

-- Events are trimmed by age.
CREATE INDEX operation_event_age ON operation_event (created_at);
