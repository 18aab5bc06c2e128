"""The admission webhook: a process of its own that answers AdmissionReviews from a warm cache.

``review`` decides and is pure; ``app`` speaks HTTP; ``cache`` keeps what decisions need; ``main`` starts and ends.
"""
