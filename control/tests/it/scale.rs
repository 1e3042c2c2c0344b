//! How many of something a test brings.

/// `whole` under `./wardgate test --long`, which sets `WARDGATE_TEST_LONG`; else `part`.
pub fn scaled<T>(part: T, whole: T) -> T {
    if std::env::var_os("WARDGATE_TEST_LONG").is_some_and(|text| text == "1") { whole } else { part }
}
