//! What ONNX Runtime tells its makers.

/// Keeps ONNX Runtime from sending anything. From 1.29 on its library for Linux tells Microsoft of the process when it is
/// loaded, before a program can call the API that turns its telemetry off, and keeps an identifier below the home folder.
/// Only this variable prevents both. To be called before any thread starts.
pub fn forbid_telemetry() {
    // SAFETY: no other thread runs yet that could read the environment meanwhile.
    #[expect(unsafe_code, reason = "the library reads nothing but the environment")]
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}
