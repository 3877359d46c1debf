-- 1.4 % of the rows of each table updated at random, a few deleted, some added.
SELECT setseed(0.77);
UPDATE accounts SET balance=balance+1.5 WHERE random()<0.014;
UPDATE orders SET state='returned' WHERE random()<0.014;
UPDATE messages SET body=body||' edited' WHERE random()<0.014;
DELETE FROM messages WHERE random()<0.001;
INSERT INTO orders SELECT i, (random()*400000)::int, now(), 'open', 10, 1, 'SKU-NEW', 'nowhere' FROM generate_series(1600001,1606000) i;
