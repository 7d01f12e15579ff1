//! Queries about subclusters.

use capstan_kernel::{
    limits::{MAX_IO_BYTES, MAX_IO_LINES},
    subcluster::{IoName, LaunchStatus, Subcluster, SubclusterId},
    view,
};
use capstan_proto::{
    Answer, Handler,
    v1::{
        ChannelLine, QueryChannelRequest, QueryChannelResponse, QuerySubclusterRequest,
        QuerySubclusterResponse, QuerySubclustersRequest, QuerySubclustersResponse, SubclusterIo,
        SubclusterVat,
    },
};

use super::{Answered, QueryError, QueryServer, page::Page};

impl Handler<QuerySubclustersRequest> for QueryServer<'_> {
    fn handle(&self, request: QuerySubclustersRequest) -> Answered<QuerySubclustersRequest> {
        let after = match request.after.as_str() {
            "" => 0,
            text => parse(text)?.0,
        };
        // The number of the last one that was read, since its description has it only as text.
        let mut read = after;
        let page = Page::fill(request.limit, self.limits.max_page_bytes, |_| {
            let record = view::subclusters_after(self.state, read, 1)?.pop();
            read = record.as_ref().map_or(read, |record| record.id.0);
            Ok(record.map(describe))
        })?;
        let next = page.next(|last| last.subcluster_id.clone());
        Ok(QuerySubclustersResponse { subclusters: page.entries, next }.into())
    }
}

impl Handler<QuerySubclusterRequest> for QueryServer<'_> {
    fn handle(&self, request: QuerySubclusterRequest) -> Answered<QuerySubclusterRequest> {
        let id = parse(&request.subcluster_id)?;
        let none = || QueryError::not_found("subcluster", id);
        let record = view::subcluster(self.state, id)?.ok_or_else(none)?;
        Ok(Answer::about(describe(record), view::subcluster_key(id)))
    }
}

impl Handler<QueryChannelRequest> for QueryServer<'_> {
    fn handle(&self, request: QueryChannelRequest) -> Answered<QueryChannelRequest> {
        let subcluster = parse(&request.subcluster_id)?;
        let name = IoName { subcluster, channel: request.channel };
        let none = || QueryError::not_found("io channel", &name);
        let record = view::io_channel(self.state, &name)?.ok_or_else(none)?;
        let bytes = self.limits.max_page_bytes;
        let page = Page::fill(request.limit, bytes, |last: Option<&ChannelLine>| {
            let after = last.map_or(request.after, |last| last.number);
            let line = view::io_output(self.state, &name, after, 1)?.pop();
            Ok(line.map(|(number, text)| ChannelLine { number, text }))
        })?;
        Ok(QueryChannelResponse {
            service: name.to_string(),
            direction: record.direction.as_str().to_owned(),
            input_lines: record.input.len(),
            input_bytes: record.input.bytes,
            waiting_reads: u32::try_from(record.readers.len()).unwrap_or(u32::MAX),
            acknowledged: record.output.taken,
            written: record.output.last,
            max_lines: MAX_IO_LINES,
            max_bytes: MAX_IO_BYTES,
            next: page.next(|last| last.number),
            lines: page.entries,
        }
        .into())
    }
}

fn parse(text: &str) -> Result<SubclusterId, QueryError> {
    let refuse = || {
        let problem = format!("{text:?} is not a subcluster: expected s and a number, as in s1");
        QueryError::Malformed(problem)
    };
    SubclusterId::parse(text).ok_or_else(refuse)
}

fn describe(record: Subcluster) -> QuerySubclusterResponse {
    QuerySubclusterResponse {
        subcluster_id: record.id.to_string(),
        name: record.name.unwrap_or_default(),
        owner: record.owner.to_string(),
        status: match record.status {
            LaunchStatus::Launching => "launching",
            LaunchStatus::Running => "running",
        }
        .to_owned(),
        bootstrap: record.bootstrap.unwrap_or_default(),
        vats: record
            .vats
            .into_iter()
            .map(|(name, vat)| SubclusterVat { name, vat_id: vat.to_string() })
            .collect(),
        services: record.services,
        io: record
            .io
            .into_iter()
            .map(|(name, io)| SubclusterIo { name, direction: io.direction.as_str().to_owned() })
            .collect(),
        bootstrap_result: record.bootstrap_result.map(|p| p.to_string()).unwrap_or_default(),
    }
}
