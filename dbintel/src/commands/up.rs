//! x
use dbintel_config::Environment;
use crate::cli::UpArguments;
use crate::demo::Demo;
use crate::failure::Failure;
use crate::output;
/// Runs.
pub fn run(arguments: UpArguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Failure::runtime)?;
    runtime.block_on(async {
        let started = crate::clock::now();
        let demo = Demo::start(arguments.postgres_bin.as_deref(), &Environment::of_process()).await?;
        output::line(&format!("{:?} {}", started.elapsed(), demo.connection()));
        output::line(&format!("{:?}", demo.write_configuration()));
        let _ = tokio::signal::ctrl_c().await;
        let t = crate::clock::now();
        demo.stop().await;
        output::line(&format!("stopped {:?}", t.elapsed()));
        Ok(())
    })
}
