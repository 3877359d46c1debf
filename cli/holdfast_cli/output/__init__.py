"""What people and programs see: tables, sentences, JSON, progress."""
