CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY,
    customer_email TEXT NOT NULL COLLATE NOCASE,
    status TEXT NOT NULL CHECK (status IN (
        'received', 'paid', 'in_production', 'packed', 'dispatched', 'out_for_delivery',
        'delivered', 'cancelled'
    )),
    placed_on TEXT NOT NULL,
    carrier TEXT,
    tracking_number TEXT,
    eta TEXT
);

CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_email, placed_on DESC);

CREATE TABLE IF NOT EXISTS items (
    order_id TEXT NOT NULL REFERENCES orders (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price_cny INTEGER NOT NULL,
    PRIMARY KEY (order_id, position)
);

CREATE TABLE IF NOT EXISTS tickets (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    description TEXT NOT NULL,
    customer_email TEXT NOT NULL COLLATE NOCASE,
    order_id TEXT REFERENCES orders (id),
    priority TEXT NOT NULL,
    created_at TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_digest TEXT NOT NULL
);
