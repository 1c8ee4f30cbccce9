//! The scripted peer's services of OTLP over gRPC.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Answer, Export, Protocol, Record};

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, record: Arc<Record>) {
    let metrics = MetricsServiceServer::from_arc(Arc::new(Service(Arc::clone(&record))));
    let logs = LogsServiceServer::from_arc(Arc::new(Service(record)));
    let served = Server::builder()
        .add_service(metrics.accept_compressed(CompressionEncoding::Gzip))
        .add_service(logs.accept_compressed(CompressionEncoding::Gzip))
        .serve_with_incoming(TcpIncoming::from(listener));
    served.await.expect("a listening socket can be served");
}

struct Service(Arc<Record>);

impl Service {
    /// Gives what was lost of an accepted request, and why.
    async fn answer<T>(&self, request: Request<T>, export: fn(T) -> Export) -> Result<Option<(i64, String)>, Status> {
        let (metadata, _, message) = request.into_parts();
        let headers = metadata.into_headers();
        match self.0.answer(Protocol::Grpc, &headers, export(message)).await {
            Answer::Ok => Ok(None),
            Answer::PartialSuccess { rejected, message } => Ok(Some((rejected, message))),
            Answer::Grpc { code, retry_after: None } => Err(Status::new(code, "as the script says")),
            Answer::Grpc { code, retry_after } => {
                let details = ErrorDetails::with_retry_info(retry_after);
                Err(Status::with_error_details(code, "as the script says", details))
            }
            mistaken => Err(Status::internal(format!("the script has {mistaken:?} for a request over gRPC"))),
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let lost = self.answer(request, Export::Metrics).await?;
        let partial_success = lost.map(|(rejected_data_points, error_message)| ExportMetricsPartialSuccess {
            rejected_data_points,
            error_message,
        });
        Ok(Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let lost = self.answer(request, Export::Logs).await?;
        let partial_success = lost.map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess {
            rejected_log_records,
            error_message,
        });
        Ok(Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
