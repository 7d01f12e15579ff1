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

use super::{Answered, QueryError, QueryServer, page::Page};

impl Handler<QueryServicesRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryServicesRequest) -> Answered<QueryServicesRequest> {
        let bytes = self.limits.max_page_bytes;
        let page = Page::fill(request.limit, bytes, |last: Option<&KernelService>| {
            let after = last.map_or(&request.after, |last| &last.name);
            let found = view::services_after(self.state, after, 1)?.pop();
            found.map(|(name, service)| describe(self.state, name, service)).transpose()
        })?;
        let next = page.next(|last| last.name.clone());
        Ok(QueryServicesResponse { services: page.entries, next }.into())
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
