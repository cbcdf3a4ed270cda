//! From a request's body to a job that waits.

use std::sync::Arc;

use axum::extract::Request;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::app::App;
use crate::decode::Pictures;
use crate::error::{ApiError, Code};
use crate::job::Job;
use crate::multipart::{Form, announced_length, stalled};
use crate::queue::Task;
use crate::settings::Settings;

/// What a job is submitted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One result, in the answer to the request.
    Answer,
    /// All results, in the answer to the request.
    Answers,
    /// Results to be asked for by the job's id.
    Job,
}

/// The room that a request's body takes in memory, until this is dropped.
pub(crate) type Room<'a> = SemaphorePermit<'a>;

/// How long a request's body may be; refuses what would be refused in any case.
pub(crate) fn expected_length(app: &App, request: &Request) -> Result<usize, ApiError> {
    app.queue.check_room()?;
    announced_length(request, &app.limits)
}

/// What a body is read as, unless that takes too long.
pub(crate) async fn in_time<T>(
    app: &App,
    read: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let read = timeout(app.limits.upload_time, read).await;
    read.map_err(|_| stalled())?
}

/// Reads, checks and queues a job.
pub(crate) async fn submit(
    app: &Arc<App>,
    request: Request,
    purpose: Purpose,
) -> Result<Arc<Job>, ApiError> {
    let length = expected_length(app, &request)?;
    let room = app.uploads.reserve(length).await?;
    let form = in_time(app, Form::read(request, &app.limits)).await?;
    submit_form(app, form, room, purpose).await
}

/// Checks and queues a job.
pub(crate) async fn submit_form(
    app: &Arc<App>,
    form: Form,
    room: Room<'_>,
    purpose: Purpose,
) -> Result<Arc<Job>, ApiError> {
    let settings = Settings::parse(form.settings.as_deref())?;
    if purpose == Purpose::Answer && settings.candidates() > 1 {
        return Err(ApiError::new(
            Code::BadSettings,
            "settings: /v1/inpaint answers with one picture; ask for more candidates with \
             /v1/jobs",
        ));
    }
    let model = settings.model(&app.models)?;
    let (sampler, steps) = settings.sampler(&app.models[model])?;
    let detail = settings.detail()?;
    let wanted = settings.pictures()?;
    let resolution = app.models[model].resolution;
    let limits = app.limits.picture();
    let permit = app.decoding_permit().await?;
    let decoded = tokio::task::spawn_blocking(move || {
        // Until the work is done, whether or not anyone still waits for it.
        let _held = permit;
        let pictures = Pictures::decode(&form, wanted, &limits)?;
        let regions = pictures.regions(resolution, detail);
        Ok::<_, ApiError>((pictures, regions))
    });
    let decoded = decoded.await.map_err(|_| ApiError::internal());
    drop(room);
    let (pictures, regions) = decoded??;
    let job = Job::new(
        (pictures.photo.width(), pictures.photo.height()),
        settings.seeds(),
        steps * regions.len(),
        settings.previews(),
        pictures.notes(),
        Arc::clone(&app.metrics),
    );
    let task = Task {
        job: Arc::clone(&job),
        model,
        sampler,
        detail,
        pictures,
        regions,
    };
    if purpose == Purpose::Job {
        // Before the worker can be done with it, so that no job is ever unknown.
        app.store.insert(Arc::clone(&job));
    }
    app.queue
        .push(task)
        .inspect_err(|_| app.store.forget(job.id))?;
    Ok(job)
}
