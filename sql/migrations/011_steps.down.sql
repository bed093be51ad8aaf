-- Takes back 011 steps. Lost: the reasoning, sources, files and data of answers, and the order of their parts.

ALTER TABLE chat_messages DROP COLUMN IF EXISTS steps;
