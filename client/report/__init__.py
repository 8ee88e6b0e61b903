"""The report on a session: figures from the records of a recording, and a page that shows them."""
