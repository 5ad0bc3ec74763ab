"""The work behind the requests: records, single flight, queue, workers, retry. Knows no devpi and no pyramid."""
