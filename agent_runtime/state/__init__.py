"""What outlives a turn: sessions, records and blobs, in Redis or in this process."""
