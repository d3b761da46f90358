//! A workload with metrics, small enough to be understood and heavy enough to be worth counting: it draws the Mandelbrot
//! set in three stages, and counts pictures and stages for Prometheus.

pub mod metrics;
pub mod picture;
pub mod server;
pub mod view;
