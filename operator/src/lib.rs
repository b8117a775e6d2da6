//! The `KubeSentiment` operator.
