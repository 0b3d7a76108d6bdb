CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL);
CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, category TEXT NOT NULL, price REAL NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id), product_id INTEGER NOT NULL REFERENCES products(id), quantity INTEGER NOT NULL, day TEXT NOT NULL);
INSERT INTO customers VALUES
 (1,'Maria Rossi','Berlin'),(2,'Jonas Weber','Berlin'),(3,'Amina Diallo','Lisbon'),
 (4,'Peter Novak','Vienna'),(5,'Lea Martin','Berlin'),(6,'Tomas Silva','Lisbon'),
 (7,'Ines Costa','Lisbon'),(8,'Emil Hansen','Oslo'),(9,'Sara Klein','Berlin'),
 (10,'Marek Dvorak','Vienna'),(11,'Nora Berg','Oslo'),(12,'Hugo Alves','Lisbon');
INSERT INTO products VALUES
 (1,'helmet','safety',49.9,14),(2,'front light','lights',19.5,32),(3,'rear light','lights',14.9,27),
 (4,'pump','tools',12.5,40),(5,'repair kit','tools',9.9,18),(6,'lock','safety',34.0,11),
 (7,'bell','accessories',6.5,60),(8,'basket','accessories',29.0,7),(9,'saddle','parts',44.0,9),
 (10,'chain','parts',18.0,22),(11,'city bike','bikes',649.0,3),(12,'gravel bike','bikes',1290.0,2);
INSERT INTO orders VALUES
 (1,1,1,1,'2026-03-02'),(2,1,2,2,'2026-03-02'),(3,2,11,1,'2026-03-05'),(4,3,6,1,'2026-03-07'),
 (5,4,4,2,'2026-03-11'),(6,5,12,1,'2026-03-14'),(7,6,3,1,'2026-03-15'),(8,7,8,1,'2026-03-20'),
 (9,8,9,1,'2026-03-21'),(10,9,10,3,'2026-03-28'),(11,10,5,2,'2026-04-01'),(12,11,7,1,'2026-04-02'),
 (13,12,1,2,'2026-04-04'),(14,3,2,1,'2026-04-09'),(15,2,6,1,'2026-04-10');
