-- One day: 1.4 % of the rows of each table updated at random, a few deleted, some added.
-- psql -v night=1 -v scale=1 -f change.sql; another number changes other rows.
SELECT setseed(0.7 + 0.01 * :night);
UPDATE accounts SET balance=balance+1.5 WHERE random()<0.014;
UPDATE orders SET state='returned' WHERE random()<0.014;
UPDATE messages SET body=body||' edited' WHERE random()<0.014;
DELETE FROM messages WHERE random()<0.001;
INSERT INTO orders SELECT top + i, (random()*500000)::int, timestamptz '2026-01-01' + :night * interval '1 day', 'open', 10, 1, 'SKU-NEW', 'nowhere' FROM (SELECT max(id) AS top FROM orders) o, generate_series(1,(:scale*6000)::int) i;
