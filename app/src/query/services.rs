//! Queries about kernel services.

use capstan_kernel::{
    ids::KRef,
    service::{Service, ServiceKind},
    view,
};
use capstan_proto::{
    Handler,
    v1::{KernelService, QueryServicesRequest, QueryServicesResponse},
};
use capstan_store::StateView;

use super::{Answered, QueryError, QueryServer, page::page_size};

impl Handler<QueryServicesRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryServicesRequest) -> Answered<QueryServicesRequest> {
        let size = page_size(request.limit);
        let mut found = view::services_after(self.state, &request.after, size + 1)?;
        let has_more = found.len() > size;
        found.truncate(size);
        let next = match found.last() {
            Some((name, _)) if has_more => name.clone(),
            _ => String::new(),
        };
        let services = found.into_iter().map(|(name, service)| describe(self.state, name, service));
        Ok(QueryServicesResponse { services: services.collect::<Result<_, _>>()?, next }.into())
    }
}

fn describe(
    state: &StateView,
    name: String,
    service: Service,
) -> Result<KernelService, QueryError> {
    let owner = match (service.kind, service.kref) {
        (ServiceKind::Object, KRef::Object(number)) => {
            let object = view::object(state, number)?;
            object
                .and_then(|object| object.owner)
                .map_or_else(String::new, |owner| owner.to_string())
        }
        (ServiceKind::Application, _) => "application".to_owned(),
        _ => "kernel".to_owned(),
    };
    let (kref, system_only) = (service.kref.to_string(), service.system_only);
    Ok(KernelService { name, kref, owner, system_only })
}
